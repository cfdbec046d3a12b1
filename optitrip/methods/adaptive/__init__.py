"""The method `adaptive`: candidates come from a searcher that learns from the losses of the batches before."""
