"""UIS telephony: notifications, calls, recordings and outgoing requests."""
