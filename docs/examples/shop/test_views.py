"""The shop's own tests, with the site's fixtures: real PostgreSQL, real Redis, nothing is faked."""

import time

import jwt
from django.conf import settings
from django.contrib.auth import get_user_model


def test_a_report_is_charged(cast):
    carol = cast("starter")
    response = carol.client.get("/shop/report")
    assert (response.status_code, response["X-Usage-Cost"]) == (200, "40")
    assert carol.client.get("/api/v1/usage/current").json()["tokens_used"] == 40


def test_one_that_fails_is_not(cast):
    carol = cast("starter")
    assert carol.client.get("/shop/report?broken=1")["X-Usage-Cost"] == "0"


def test_the_third_report_of_a_month_is_above_communitys_quota(cast):
    alice = cast("community")
    answers = [alice.client.get("/shop/report").status_code for _ in range(3)]
    assert answers == [200, 200, 429]


def test_an_upgrade_opens_insights(key_client, on_plan, db):
    user = get_user_model().objects.create_user("erin")
    client = key_client(on_plan(user, "starter"))
    assert client.get("/shop/insights").status_code == 403
    on_plan(user, "pro")
    assert client.get("/shop/insights").status_code == 200


def test_the_minute_passes(cast, clock):
    alice = cast("community")
    assert [alice.client.get("/shop/search").status_code for _ in range(11)] == [200] * 10 + [429]
    clock.tick(60)
    assert alice.client.get("/shop/search").status_code == 200


def test_a_token_of_the_shop_is_as_good_as_a_key(cast, client):
    carol = cast("starter")
    claims = {"sub": str(carol.user.pk), "exp": int(time.time()) + 60}
    token = jwt.encode(claims, settings.TOKEN_SECRET, algorithm="HS256")
    response = client.get("/shop/search", headers={"authorization": f"Bearer {token}"})
    assert (response.json()["for"], response["X-Usage-Cost"]) == (carol.user.username, "2")


def test_what_a_batch_tracks_is_refused_above_the_quota(cast):
    alice = cast("community")
    assert alice.client.get("/shop/batch?pieces=3").json() == {"charged": 15, "remaining": 45}
    assert alice.client.get("/shop/batch?pieces=3").status_code == 429
