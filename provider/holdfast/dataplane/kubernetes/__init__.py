"""The Kubernetes data plane: a Run is a pod whose name comes from the Run and whose UID is the fence."""
