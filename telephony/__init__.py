"""UIS: everything it says to us, everything we ask of it."""
