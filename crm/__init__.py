"""retailCRM: pop-ups, call uploads, and the commands the CRM sends us."""
