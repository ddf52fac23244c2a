"""One run, one folder: a model, a patch, a task and a recipe joined into what ``compare`` reads."""
