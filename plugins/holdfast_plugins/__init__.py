"""The HTTP edge: REST API v1 and the views inside Airflow. It translates, and decides nothing."""
