"""Commands for developers: the demonstration and the simulator. Installed only with DEBUG."""
