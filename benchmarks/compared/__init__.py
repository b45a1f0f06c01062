"""Each attack by each library, called as its documentation shows it; one file a library."""
