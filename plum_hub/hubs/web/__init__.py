"""The embedded Hub in a browser: pages to read, made on the server, with no script and nothing from elsewhere."""
