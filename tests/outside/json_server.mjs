// json-server on loopback: `node json_server.mjs PACKAGE DATA PORT`. Its own command listens everywhere,
// whatever --host says.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, data, port] = process.argv.slice(2);
const { createApp } = await import(pathToFileURL(`${folder}/lib/app.js`));
createApp({ data: JSON.parse(readFileSync(data)) }).listen(Number(port), undefined, "127.0.0.1");
