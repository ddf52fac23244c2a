"""Two runs become one verdict, and several activations one ranking."""
