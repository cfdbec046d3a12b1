"""Problems with known derivatives, to hold numeric gradients against."""
