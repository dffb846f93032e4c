"""The servers, one file each: for each, the smallest site that is a fair comparison."""
