"""What a Run costs beyond a pod of Airflow's own operator."""
