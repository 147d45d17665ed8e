"""retailCRM: everything it says to us, everything we tell it."""
