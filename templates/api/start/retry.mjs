// Send a request, and send it again when the answer says after how many seconds.
async function call(method, path, body, tries = 5) {
  const headers = {
    Authorization: `Bearer ${process.env.KEY}`,
    "Content-Type": "application/json",
    "Idempotency-Key": crypto.randomUUID(), // so that sending it again charges nothing twice
  };
  let response;
  for (let tried = 0; tried < tries; tried++) {
    response = await fetch(process.env.BASE + path, { method, headers, body: body && JSON.stringify(body) });
    const wait = response.headers.get("Retry-After");
    if (wait === null) break; // it is served; or waiting does not help, or not soon
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
  return response;
}

const response = await call("POST", "/api/v1/usage/check", { feature: "trace_start" });
console.log(response.status, await response.text());
