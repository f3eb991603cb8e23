"""The embedded Hub in a browser: read-only pages, rendered on the server, without scripts or external resources."""
