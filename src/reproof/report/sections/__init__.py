"""The page's sections: one Python file and one template each."""
