"""A customer's first steps at a site, by the standard library alone: sign up, make a key, print it.

python newcomer.py https://metered.example CERTIFICATE
"""

import http.cookiejar
import re
import sys
import urllib.parse
import urllib.request

(site,) = sys.argv[1:]
jar = http.cookiejar.CookieJar()
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))


def send(path, **fields):
    """Open a page, and send its form with these fields."""
    address = f"{site}{path}"
    page = browser.open(address).read().decode()
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    body = urllib.parse.urlencode(hidden | fields).encode()
    return browser.open(urllib.request.Request(address, body, {"Referer": address})).read().decode()


send("/accounts/signup/", email="ann@customers.example", password1="correct-horse-9")
assert all(cookie.secure for cookie in jar), jar
page = send("/dashboard/keys/", name="first", expires="")
print(max(re.findall(r"mk_live_[\w.-]+", page), key=len))  # other keys are shown by their beginnings
