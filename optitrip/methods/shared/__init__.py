"""Stages that several methods use, and what their routes share."""
