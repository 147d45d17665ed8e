"""Settings, URLs, task queue, outbound HTTP and management commands of the connector."""
