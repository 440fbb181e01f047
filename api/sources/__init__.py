"""Models and datasets that a spec names where they are: in a repository of the Hugging Face Hub, or below a folder."""
