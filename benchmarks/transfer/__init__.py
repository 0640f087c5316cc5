"""The agent under grants against bare boto3, on the same files and the same store; see ../README.md."""
