"""All set-up checks of a client."""
