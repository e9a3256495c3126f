"""What all live pages share in the browser."""
