// A receiver of webhooks: PORT and WEBHOOK_SECRET in the environment. Needs `npm install standardwebhooks`.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const seen = new Set(); // in your database

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString(); // as it came, not JSON written anew
  try {
    const message = webhook.verify(body, request.headers);
    if (!seen.has(request.headers["webhook-id"])) { // it may come twice
      seen.add(request.headers["webhook-id"]);
      console.log(message.type, message.data.id, message.data.version);
    }
    response.writeHead(204).end(); // at once: work that takes longer goes into a queue
  } catch {
    response.writeHead(400).end();
  }
}).listen(Number(process.env.PORT), "127.0.0.1");
