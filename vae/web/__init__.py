"""The web side: HTTP routes, the live browser component, and the state pages share."""
