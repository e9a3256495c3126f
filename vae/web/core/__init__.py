"""What every page shares on the server."""
