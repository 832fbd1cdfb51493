"""Sign-up, log-in, addresses and second factors, which are django-allauth's: what this site wants of them."""
