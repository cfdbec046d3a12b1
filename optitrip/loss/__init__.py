"""The adapter around a user's loss."""
