"""What only the book needs: runs, experiments, the papers, page furniture."""
