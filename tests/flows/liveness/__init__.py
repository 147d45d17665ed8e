"""From each state with each fault: what the liveness test simulates, and the bounds it asserts."""
