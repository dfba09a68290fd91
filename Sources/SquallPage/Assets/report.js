import { RunPage } from "./run.js";

const page = new RunPage();
document.querySelector("main").append(page.root);
page.show(JSON.parse(document.getElementById("view").textContent));
