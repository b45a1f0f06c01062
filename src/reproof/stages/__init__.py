"""One module per rule of the workflow: read the job's inputs, do its work, write its files and their record."""
