"""The Airflow edge: hook, operators, sensor, notifier, policies. It reaches the governance functions over HTTP only."""
