"""The Airflow edge: hooks, operators, sensors, policies. It reaches the governance functions over HTTP only."""
