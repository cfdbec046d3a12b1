"""The method `local_search`: tries small random moves around the best point so far."""
