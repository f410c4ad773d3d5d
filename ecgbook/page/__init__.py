"""What the pages share: tables, cards, figures."""
