"""The floor and the roof of the connector: settings, addresses, the queue, remote calls, commands."""
