"""The durable record of a sweep: finished parts, and facts about the sweep."""
