"""What one pass of the reconciler costs."""
