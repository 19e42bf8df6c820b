//! MariaDB with its command-line client, and with a client that prepares statements.

use anyhow::Result;
use xtask::capture::capture;
use xtask::servers::MariaDb;
use xtask::workload::feed;

use super::scripts::python;
use super::{Files, KEPT, WHOLE};

pub(super) fn mysql(files: &Files) -> Result<()> {
    let server = MariaDb::start()?;
    capture(&files.capture, &[server.port], KEPT, || {
        feed(
            server.client()?.args(["--force", "shop"]),
            "CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer VARCHAR(40), total DECIMAL(8,2));
             INSERT INTO orders (customer, total) VALUES ('Ann', 1.5), ('Bob', 2.5);
             SELECT customer, total FROM orders WHERE total > 1 ORDER BY id;
             SELECT price FROM orders;
             INSERT INTO orders (id, customer) VALUES (1, 'again');
             SELEC 1;
             UPDATE orders SET total = total + 1 WHERE customer = 'Ann';
             DROP TABLE orders;",
        )?;
        feed(server.client()?.arg("-pwrong"), "SELECT 1;")
    })
}

pub(super) fn mysql_prepared(files: &Files) -> Result<()> {
    let server = MariaDb::start()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("mysql", include_str!("mysql.py"), server.port, &files.log)
    })
}
