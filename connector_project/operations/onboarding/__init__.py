"""The client's page, activation, marketplace and disconnecting."""
