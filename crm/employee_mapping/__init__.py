"""Employee mapping: links between UIS employees and CRM users, suggestions, and manual decisions."""
