use crate::fixture::Fixture;

fn bucket_of(seconds: f64) -> i16 {
    (seconds.log2() * 8.0).ceil() as i16
}

#[tokio::test]
async fn quantiles_of_merged_histograms_are_within_a_bucket_of_the_truth() {
    let fixture = Fixture::new().await;
    // 1 to 1000 ms, evenly, in rows of ten durations each, for two services.
    for row in 0..100u64 {
        let mut buckets = std::collections::BTreeMap::new();
        for step in 0..10 {
            let milliseconds = row * 10 + step + 1;
            *buckets.entry(bucket_of(milliseconds as f64 / 1000.0)).or_insert(0u32) += 1;
        }
        let (numbers, counts): (Vec<_>, Vec<_>) = buckets.into_iter().unzip();
        fixture.add_histogram(row, if row % 2 == 0 { "even" } else { "odd" }, &numbers, &counts).await;
    }
    for (q, exact) in [(0.01, 0.010), (0.5, 0.5), (0.9, 0.9), (0.99, 0.99), (1.0, 1.0)] {
        let sql = format!("SELECT histogram_quantile({q}, latency_bucket, latency_count) FROM metrics_1s");
        let found: f64 = fixture.lines(&sql).await[0].parse().unwrap();
        assert!((found / exact).log2().abs() <= 1.0 / 8.0, "p{q}: {found} for {exact}");
    }
    let groups = fixture.lines("SELECT service, histogram_quantile(0.5, latency_bucket, latency_count) BETWEEN 0.45 AND 0.55 FROM metrics_1s GROUP BY service ORDER BY 1").await;
    assert_eq!(groups, ["even|true", "odd|true"]);
}

#[tokio::test]
async fn an_empty_histogram_has_no_quantile_and_a_torn_one_is_an_error() {
    let fixture = Fixture::new().await;
    let sql = "SELECT histogram_quantile(0.5, latency_bucket, latency_count) FROM metrics_1s";
    assert_eq!(fixture.lines(sql).await, ["-"]);
    fixture.add_histogram(1, "a", &[], &[]).await;
    assert_eq!(fixture.lines(sql).await, ["-"]);
    assert!(
        fixture
            .error("SELECT histogram_quantile(1.5, latency_bucket, latency_count) FROM metrics_1s")
            .await
            .to_string()
            .contains("between 0 and 1")
    );
    fixture.add_histogram(2, "a", &[1, 2], &[1]).await;
    assert!(fixture.error(sql).await.to_string().contains("2 buckets but 1 counts"));
}
