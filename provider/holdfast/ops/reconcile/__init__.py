"""The reconciler: every pod maps to a Run, and every open Run to a pod."""
