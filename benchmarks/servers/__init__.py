"""The servers, one file each: the smallest honest site for each of them."""
