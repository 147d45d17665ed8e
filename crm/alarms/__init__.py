"""What is wrong and whom to tell: facts, the troubles that follow from them, incidents, messages."""
