"""What templates of pages and mails are written with."""
