"""The agent: puts a Run's inputs in place and takes its outputs away, on the data plane's side.

Standard library only: it runs in a small image beside the user's container, and, locally, as a child process. It gets an order as JSON
on standard input and answers with a report as JSON on standard output. It never sees a service token; a grant's URL reaches it in the
order and appears in no report, message or log.
"""
