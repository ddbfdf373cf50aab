"""Documents → text: terminal, CSV, JSON, Markdown, LaTeX, HTML, figures. No arithmetic beyond the choice of a unit."""
