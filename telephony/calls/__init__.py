"""The state machine of a call, from its first event to the upload."""
