"""The method `descent`: follows the slope of the loss, step by step."""
